// Edits on their way to the server. All that it has not acknowledged go out together, each with a number, so that none is lost
// or made twice however fast they come; `pending` are those to paint on top of what the server last said.

const PATIENCE = 2000; // ms without an answer after which they are sent again: Streamlit may drop a click for the sake of a newer one

export class Outbox {
  constructor() {
    this.client = Math.random().toString(36).slice(2);
    this.sent = 0;
    this.pending = [];
    this.send = () => {};
  }

  add(...edit) {
    this.pending.push([++this.sent, ...edit]);
    this.post();
  }

  post() {
    clearTimeout(this.again);
    if (!this.pending.length) return;
    this.send({ client: this.client, edits: this.pending });
    this.again = setTimeout(() => this.post(), PATIENCE);
  }

  acknowledge([client, number]) {
    if (client === this.client) this.pending = this.pending.filter(([own]) => own > number);
    if (!this.pending.length) clearTimeout(this.again);
  }
}
