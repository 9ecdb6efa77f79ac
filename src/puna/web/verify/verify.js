// Verify an answer in this browser: replays it from its receipt in a worker. Imported by pages of the explorer and of
// whoever likes to: `await verifyReceipt(receipt, { onProgress })`.

// Resolves to the verdict of worker.js, {agrees, checks, ...}; rejects with an Error that says what was wrong.
export function verifyReceipt(receipt, { gateway = location.origin, onProgress = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const end = (settle, value) => {
      worker.terminate();
      settle(value);
    };
    worker.onmessage = ({ data }) => {
      if (data.verdict) end(resolve, data.verdict);
      else if (data.error) end(reject, new Error(data.error));
      else onProgress(data);
    };
    worker.onerror = (event) => end(reject, new Error(event.message || "The verifier could not be loaded."));
    signal?.addEventListener("abort", () => end(reject, new Error("Stopped.")));
    worker.postMessage({ receipt, gateway });
  });
}
