// Keeps one stream of /live for all tabs of a browser, which opens six connections to a host over
// all of them: with a stream a tab there were none left for buttons and videos. It runs as a
// SharedWorker; in a browser without those each tab imports it for itself.
const AGAIN_MS = 2000;

// `tell` gets {state}: all at first and then what has changed, or {lost}: "program", "login", or
// "" once it is back. Returns what ends it.
export const follow = (tell) => {
  let source = null;
  let timer = null;
  let over = false;
  const open = () => {
    source = new EventSource("live");
    source.onopen = () => tell({ lost: "" });
    source.onmessage = (event) => tell({ state: JSON.parse(event.data) });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) refused(); else tell({ lost: "program" });
    };
  };
  // EventSource doesn't say by which status it was refused. A restart ends every login.
  const refused = async () => {
    const enough = new AbortController();
    const status = await fetch("live", { signal: enough.signal }).then((a) => a.status, () => 0);
    enough.abort();
    if (over) return;
    tell({ lost: status === 401 ? "login" : "program" });
    if (status !== 401) timer = setTimeout(open, AGAIN_MS);
  };
  open();
  return () => { over = true; clearTimeout(timer); source.close(); };
};

const share = () => {
  const ports = new Set();
  let state = {};
  let lost = "";
  let close = null;
  const tell = (told) => {
    if (told.lost === "") state = {}; // all of it comes next, perhaps from another version
    if ("lost" in told) lost = told.lost; else Object.assign(state, told.state);
    for (const port of ports) port.postMessage(told);
  };
  const leave = (port) => {
    ports.delete(port);
    port.close();
    if (ports.size === 0 && close) { close(); close = null; }
  };
  self.onconnect = ({ ports: [port] }) => {
    ports.add(port);
    port.onmessage = () => leave(port); // the only thing that a tab says
    port.onclose = () => leave(port); // of a tab that crashed, where browsers tell
    // A tab that comes after a login's end has logged in anew.
    if (close && lost === "login") { close(); close = null; }
    if (close) { port.postMessage({ lost }); port.postMessage({ state }); return; }
    state = {};
    lost = "";
    close = follow(tell);
  };
};
if ("SharedWorkerGlobalScope" in self) share();
