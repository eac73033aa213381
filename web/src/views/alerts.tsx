// What prevents the page from working, at the top of the page: it disappears with its cause.

import { unreachableReason } from "../state/live";
import type { Config } from "../state/model";
import type { State } from "../state/state";

const DEFAULT_PORT = "8000";

export function Alerts({ state }: { state: State }) {
  const reason = unreachableReason(state);
  return (
    <div class="alerts" role="alert">
      {state.live.isStale && (
        <p>
          <b>The demo does not respond at this address.</b> If it was stopped, start it again:{" "}
          <code>{startCommand(state.config)}</code>. Drawn pixels are queued, and this page reconnects
          automatically.
        </p>
      )}
      {reason !== null && state.config !== null && (
        <p>
          <b>The gateway is up, but this page cannot connect to it</b> at <code>{state.config.gateway}</code>:{" "}
          {reason}. Open the page at the address that the demo printed. From another machine, forward the
          port: <code>{forwarding(state.config.gateway)}</code>
        </p>
      )}
    </div>
  );
}

/** The command that starts the demo at the port of the last configuration, or else at that of this page. */
export function startCommand(config: Config | null): string {
  const port = String(config?.port ?? location.port);
  return port === "" || port === DEFAULT_PORT ? "make run" : `PORT=${port} make run`;
}

/** The command that makes the gateway's port available under the same number on the user's machine. */
function forwarding(gateway: string): string {
  const { port, protocol } = new URL(gateway);
  const number = port === "" ? (protocol === "wss:" ? "443" : "80") : port;
  return `ssh -L ${number}:127.0.0.1:${number} HOST`;
}
