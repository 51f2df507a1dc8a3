// The live line from the server: it is opened again, from where it was lost, as long as the page is looked at.

const RECONNECT_AFTER = 1000; // milliseconds
const NO_SUCH_RUN = 4404, UNREADABLE = 4422; // close codes of the /live route

// Thaw may lie below a path that only a proxy knows of, and the page's address may have changed since: this script lies in its assets/.
export const HOME = new URL("..", import.meta.url);

/** The address of the live line with this query, beside the assets of a Thaw at `home`: ws:// for http://, wss:// for https://. */
export function line(query, home = HOME) {
  const address = new URL(`live?${query}`, home);
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}

const TRAINING = ["preparing", "running"];

// What it means for a run that the server is gone. `status` is the last that was heard of it, undefined where nothing was.
export function withoutServer(status) {
  if (TRAINING.includes(status)) return "The server does not answer. Training goes on in its own process; this page continues when the server is back.";
  if (status === "paused") return "The server does not answer. The run stays paused in its own process; this page continues when the server is back.";
  return "The server does not answer. This page continues when the server is back.";
}

export class Connection {
  // `query()` is asked for at each start; `receive(message)` is called with what comes; `say(state, word, sentence)` with how the line is.
  constructor({ query, receive, say, status }) {
    Object.assign(this, { query, receive, say, status });
    this.open();
  }

  open() {
    const socket = new WebSocket(line(this.query()));
    this.socket = socket;
    socket.onopen = () => this.say("live", "Live");
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this.closed) return;
      if (code === NO_SUCH_RUN) return this.say("lost", "This run is gone");
      if (code === UNREADABLE) return this.say("lost", "This run cannot be read");
      this.say("lost", "Reconnecting", withoutServer(this.status()));
      this.retry = setTimeout(() => this.open(), RECONNECT_AFTER);
    };
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket.close();
  }
}
