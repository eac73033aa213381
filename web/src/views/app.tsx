// The page: the canvas on one side, what happens behind it on the other.

import { useEffect, useState } from "preact/hooks";
import type { Feed } from "../feed/feed";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import { Badge } from "./badge";
import { Easel } from "./easel";
import { Join } from "./join";
import { Live } from "./live";
import { NameField } from "./name";
import { Notices } from "./notices";
import { Palette } from "./palette";
import { People } from "./people";
import { Waiting } from "./waiting";

/** The state, at most once for each picture that the browser draws. */
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

export function App({ store, feed }: { store: Store; feed: Feed }) {
  const state = useStore(store);
  return (
    <>
      <header class="top">
        <h1>
          <img src="./icon.svg" alt="" width="28" height="28" />
          Steadfast <span>canvas</span>
        </h1>
        <NameField name={state.name} rename={feed.rename} />
        <Badge link={state.link} outage={state.outage} tryNow={feed.tryNow} />
      </header>
      <Content state={state} feed={feed} />
      <Notices notices={state.notices} close={feed.closeNotice} />
    </>
  );
}

function Content({ state, feed }: { state: State; feed: Feed }) {
  const { config } = state;
  if (config === null) {
    return (
      <main class="blank">
        <p role="status">
          {state.trouble === null ? "Asking for the canvas…" : <Trouble reason={state.trouble} />}
        </p>
      </main>
    );
  }
  return (
    <main class="page">
      <section class="draw" aria-label="Canvas">
        <Easel state={state} config={config} feed={feed} />
        <Palette colors={config.colors} chosen={state.color} choose={feed.choose} />
        <Waiting state={state} />
        <People people={state.people} self={state.self} isCurrent={state.link.kind === "connected"} />
      </section>
      <Live state={state} config={config} kill={feed.kill} />
      <Join config={config} />
    </main>
  );
}

function Trouble({ reason }: { reason: string }) {
  return (
    <>
      The demo's server does not answer ({reason}). This page asks again by itself; if it goes on, look
      whether <code>make run</code> is still running.
    </>
  );
}
