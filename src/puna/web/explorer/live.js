// The node's stream of news: one connection for all pages, and a line that says when it is lost.

const AGAIN_MS = 2000;
const listeners = new Set();
const states = new Set();
let source = null;
let up = null;

function connect() {
  source = new EventSource("/events");
  source.onopen = () => tell(true);
  source.onerror = () => {
    tell(false);
    // After a refusal a browser gives up; a node that starts again refuses for a moment.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  };
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    for (const listener of listeners) listener(event);
  };
}

function tell(now) {
  const again = up === false && now;
  up = now;
  for (const each of states) each(now, again);
}

// Have `listener(event)` told of all that happens until the function that comes back is called.
export function listen(listener) {
  if (!source) connect();
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// `listener(up, again)` when the connection comes, goes, or comes again (what happened meanwhile was missed).
export function onConnection(listener) {
  states.add(listener);
  if (up !== null) listener(up, false);
  return () => states.delete(listener);
}
