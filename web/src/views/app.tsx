// The page: the canvas on one side, the live report on the other.

import { useEffect, useState } from "preact/hooks";
import type { PageActions } from "../feed/feed";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import { Alerts } from "./alerts";
import { Badge } from "./badge";
import { CanvasView } from "./canvas";
import { Join } from "./join";
import { KillPanel } from "./kill";
import { Live } from "./live";
import { NameField } from "./name";
import { Notices } from "./notices";
import { Palette } from "./palette";
import { Participants } from "./participants";
import { QueueStatus } from "./queue-status";
import { Tools } from "./tools";

/** The current state; updates at most once per animation frame. */
function useStore(store: Store): State {
  const [state, setState] = useState(store.get());
  useEffect(() => {
    let frame = 0;
    const update = (): void => {
      frame = 0;
      setState(store.get());
    };
    const stop = store.listen(() => {
      frame ||= requestAnimationFrame(update);
    });
    update();
    return () => {
      cancelAnimationFrame(frame);
      stop();
    };
  }, [store]);
  return state;
}

export function App({ store, actions }: { store: Store; actions: PageActions }) {
  const state = useStore(store);
  return (
    <>
      <header class="top">
        <h1>
          <img src="./icon.svg" alt="" width="28" height="28" />
          Steadfast <span>canvas</span>
        </h1>
        <NameField name={state.name} rename={actions.rename} />
        <Badge link={state.link} outage={state.outage} reconnectNow={actions.reconnectNow} />
      </header>
      <Alerts state={state} />
      <Content state={state} actions={actions} />
      <Notices notices={state.notices} close={actions.closeNotice} />
    </>
  );
}

function Content({ state, actions }: { state: State; actions: PageActions }) {
  const { config } = state;
  if (config === null) {
    return (
      <main class="loading">
        <p role="status">
          {state.startError === null ? "Loading the canvas…" : <StartError reason={state.startError} />}
        </p>
      </main>
    );
  }
  return (
    <main class="page">
      <section class="draw" aria-label="Canvas">
        <CanvasView state={state} config={config} actions={actions} />
        <Palette
          colors={config.colors}
          names={config.colorNames}
          chosen={state.color}
          choose={actions.chooseColor}
        />
        <QueueStatus state={state} />
        <Tools
          isOwnHighlighted={state.isOwnHighlighted}
          toggleOwn={actions.toggleOwn}
          clear={actions.clear}
        />
      </section>
      <KillPanel state={state} isKillAllowed={config.isKillAllowed} requestKill={actions.kill} />
      <Live state={state} />
      <Participants
        participants={state.participants}
        self={state.self}
        isCurrent={state.link.kind === "connected"}
      />
      <Join config={config} />
    </main>
  );
}

function StartError({ reason }: { reason: string }) {
  return <>The demo's server does not respond ({reason}). This page retries automatically.</>;
}
