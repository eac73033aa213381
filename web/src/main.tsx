// The entry point of the page.

import { render } from "preact";
import { startFeed } from "./feed/feed";
import * as persistence from "./feed/persistence";
import { initial } from "./state/state";
import { createStore } from "./state/store";
import "./style/base.css";
import "./style/canvas.css";
import "./style/live.css";
import { App } from "./views/app";

const root = document.getElementById("app");
if (root === null) {
  throw new Error("the element #app is missing");
}
const store = createStore(initial(persistence.name(), persistence.color()));
const actions = startFeed(store);
render(<App store={store} actions={actions} />, root);
