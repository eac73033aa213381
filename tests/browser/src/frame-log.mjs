// The publications of one page and their acknowledgements, read from the WebSocket frames, independently of what the
// page displays.

export class FrameLog {
  /** By idempotency key: the stroke, how often it was sent, and each acknowledgement. */
  strokes = new Map();

  /** The log of one connection, within which command ids are unique. */
  connection() {
    const commands = new Map();
    return {
      sent: (frame) => {
        for (const line of lines(frame)) {
          this.#sent(commands, line);
        }
      },
      received: (frame) => {
        for (const line of lines(frame)) {
          this.#received(commands, line);
        }
      },
      /** The frame without the acknowledgements of publications. */
      withoutAcks: (frame) =>
        lines(frame)
          .filter(({ id }) => !commands.has(id))
          .map((line) => JSON.stringify(line))
          .join("\n"),
    };
  }

  #sent(commands, { id, rpc }) {
    if (rpc?.method !== "gw.publish") {
      return;
    }
    const { idempotency_key: key, data } = rpc.data;
    commands.set(id, key);
    const stroke = this.strokes.get(key) ?? { data, sent: 0, acks: [] };
    this.strokes.set(key, { ...stroke, sent: stroke.sent + 1 });
  }

  #received(commands, { id, rpc }) {
    const stroke = this.strokes.get(commands.get(id));
    if (stroke !== undefined && rpc !== undefined) {
      stroke.acks.push(rpc.data);
    }
  }
}

/** A frame contains one message per line. */
function lines(frame) {
  return String(frame)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
