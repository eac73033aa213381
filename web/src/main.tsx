// Starts the page.

import { render } from "preact";
import { startFeed } from "./feed/feed";
import * as memory from "./feed/memory";
import { initial } from "./state/state";
import { createStore } from "./state/store";
import "./style/base.css";
import "./style/easel.css";
import "./style/live.css";
import { App } from "./views/app";

const root = document.getElementById("app");
if (root === null) {
  throw new Error("the page has no place for its content");
}
const store = createStore(initial(memory.name(), memory.color()));
const feed = startFeed(store);
render(<App store={store} feed={feed} />, root);
