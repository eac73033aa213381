// The entry point of the page.

import { render } from "preact";
import { startFeed } from "./feed/feed";
import * as persistence from "./feed/persistence";
import { initial } from "./state/state";
import { createStore } from "./state/store";
import "./style/base.css";
import "./style/canvas.css";
import "./style/live.css";
import "./style/short.css";
import { App } from "./views/app";

const root = document.getElementById("app");
if (root === null) {
  throw new Error("the element #app is missing");
}
const store = createStore(initial(persistence.name(), persistence.color()));
const { actions, stop } = startFeed(store);
render(<App store={store} actions={actions} />, root);

// During development a changed module runs this file again; the earlier run must not keep its connection and timers.
import.meta.hot?.accept();
import.meta.hot?.dispose(stop);
