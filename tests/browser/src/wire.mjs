// What one page sent to the gateway and what was acknowledged to it, read from the frames themselves: the page's own
// opinion is what is tested.

export class Wire {
  /** By key: the stroke, how often it was sent, and each acknowledgement. */
  strokes = new Map();

  /** The books of one connection: ids of requests count within it. */
  connection() {
    const asked = new Map();
    return {
      sent: (frame) => {
        for (const line of lines(frame)) {
          this.#sent(asked, line);
        }
      },
      received: (frame) => {
        for (const line of lines(frame)) {
          this.#received(asked, line);
        }
      },
      /** The frame without the acknowledgements of publications. */
      withoutAcks: (frame) =>
        lines(frame)
          .filter(({ id }) => !asked.has(id))
          .map((line) => JSON.stringify(line))
          .join("\n"),
    };
  }

  #sent(asked, { id, rpc }) {
    if (rpc?.method !== "gw.publish") {
      return;
    }
    const { idempotency_key: key, data } = rpc.data;
    asked.set(id, key);
    const stroke = this.strokes.get(key) ?? { data, sent: 0, acks: [] };
    this.strokes.set(key, { ...stroke, sent: stroke.sent + 1 });
  }

  #received(asked, { id, rpc }) {
    const stroke = this.strokes.get(asked.get(id));
    if (stroke !== undefined && rpc !== undefined) {
      stroke.acks.push(rpc.data);
    }
  }
}

/** A frame holds one message a line. */
function lines(frame) {
  return String(frame)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
