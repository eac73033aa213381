// Mounts a view into the document of happy-dom.

import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";

export class Mount {
  readonly root = document.createElement("div");

  constructor() {
    document.body.append(this.root);
  }

  /** Renders the view, and returns its text with single spaces. */
  text(view: ComponentChild): string {
    act(() => render(view, this.root));
    return (this.root.textContent ?? "").replace(/\s+/gu, " ").trim();
  }

  element<T extends Element = HTMLElement>(selector: string): T {
    const found = this.root.querySelector<T>(selector);
    if (found === null) {
      throw new Error(`no element ${selector}`);
    }
    return found;
  }

  remove(): void {
    act(() => render(null, this.root));
    this.root.remove();
  }
}
