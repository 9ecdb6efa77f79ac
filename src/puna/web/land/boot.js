// Starts the game, or says why it cannot: a module that lacks one of its files does not run at all.
import("/web/land/main.js").catch(async (error) => {
  console.error(error);
  let why = "";
  try {
    why = (await (await fetch("/web/vendor/index.json")).json()).missing ?? "";
  } catch {
    // Then the node is away, which the words below cover.
  }
  const bar = document.getElementById("connection");
  bar.textContent = why
    ? "This build of Puna lacks the files that the game takes from npm. Connect the machine to the network and build Puna again."
    : `Llama Land could not start: ${error.message}. Please reload the page.`;
  bar.hidden = false;
});
