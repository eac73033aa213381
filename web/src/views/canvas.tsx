// The canvas with its cursor, and drawing by mouse, touch and keyboard.

import { useRef, useState } from "preact/hooks";
import type { PageActions } from "../feed/feed";
import { between } from "../state/line";
import { type Cell, type Config, isClear } from "../state/model";
import { unconfirmed } from "../state/queue";
import { BLANK, colorAt } from "../state/replica";
import type { State } from "../state/state";
import { useSurface } from "./surface";

interface Props {
  readonly state: State;
  readonly config: Config;
  readonly actions: PageActions;
}

export function CanvasView({ state, config, actions }: Props) {
  const surface = useSurface(state, config);
  const [announcement, setAnnouncement] = useState("");
  const stroke = useStroke(config, actions);
  const { cursor } = state;
  const describe = (cell: Cell): void => setAnnouncement(describeCell(actions.currentState(), config, cell));
  const keyActions: Readonly<Record<string, () => void>> = {
    Enter: () => paintHere(),
    " ": () => paintHere(),
    "[": () => chooseNext(config.colors.length - 1),
    "]": () => chooseNext(1),
  };
  const paintHere = (): void => {
    const { cursor: cell, color } = actions.currentState();
    actions.paint([cell]);
    setAnnouncement(`${cellName(cell)} painted ${nameOf(config, color)}`);
  };
  const chooseNext = (by: number): void => {
    const color = (actions.currentState().color + by) % config.colors.length;
    actions.chooseColor(color);
    setAnnouncement(`Colour ${nameOf(config, color)}`);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const moved = step(event.key, event.shiftKey ? 8 : 1, actions.currentState().cursor, config);
    const act = keyActions[event.key];
    if (moved === null && act === undefined) {
      return;
    }
    event.preventDefault();
    act?.();
    if (moved !== null) {
      actions.moveCursor(moved);
      describe(moved);
    }
  };
  return (
    <div class="canvas-frame">
      {/* A screen reader passes keys to an element of this role; the text in #keys describes them. */}
      <div
        class="board"
        role="application"
        aria-roledescription="pixel canvas"
        aria-label={`Canvas of ${config.width} by ${config.height} pixels`}
        aria-describedby="keys"
        data-testid="board"
        data-epoch={state.replica.picture?.epoch}
        data-offset={state.replica.requiredPosition === null ? state.replica.picture?.offset : undefined}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the canvas has keyboard controls
        tabIndex={0}
        onKeyDown={onKeyDown}
        onFocus={() => describe(cursor)}
        {...stroke}
      >
        <canvas ref={surface} />
        <div
          class="cursor"
          aria-hidden="true"
          style={{
            "--x": cursor.x / config.width,
            "--y": cursor.y / config.height,
            "--w": 1 / config.width,
            "--color": config.colors[state.color],
          }}
        />
      </div>
      <p class="hidden" role="status" data-testid="announcement">
        {announcement}
      </p>
    </div>
  );
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function step(key: string, by: number, from: Cell, config: Config): Cell | null {
  const direction = STEPS[key];
  if (direction === undefined) {
    return null;
  }
  const within = (value: number, size: number): number => Math.min(size - 1, Math.max(0, value));
  return {
    x: within(from.x + direction[0] * by, config.width),
    y: within(from.y + direction[1] * by, config.height),
  };
}

function nameOf({ colorNames }: Config, color: number): string {
  return colorNames[color] ?? "unknown";
}

function cellName({ x, y }: Cell): string {
  return `Column ${x + 1}, row ${y + 1}`;
}

function describeCell(state: State, config: Config, cell: Cell): string {
  const own = unconfirmed(state.queue, state.acked, cell);
  const color = own === undefined ? colorAt(state.replica, cell.x, cell.y) : (own?.color ?? BLANK);
  const name = color === BLANK ? "empty" : nameOf(config, color);
  const isQueued = state.queue.some((item) => !isClear(item) && item.x === cell.x && item.y === cell.y);
  return `${cellName(cell)}: ${name}${isQueued ? ", not acknowledged yet" : ""}`;
}

interface Stroke {
  readonly onPointerDown: (event: PointerEvent) => void;
  readonly onPointerMove: (event: PointerEvent) => void;
  readonly onPointerUp: (event: PointerEvent) => void;
  readonly onPointerCancel: (event: PointerEvent) => void;
}

/** One finger or the primary mouse button draws. Fast movements draw a line without gaps. */
function useStroke(config: Config, actions: PageActions): Stroke {
  const last = useRef<{ readonly pointer: number; readonly cell: Cell } | null>(null);
  const end = (event: PointerEvent): void => {
    if (last.current?.pointer === event.pointerId) {
      last.current = null;
    }
  };
  return {
    onPointerDown: (event) => {
      if (event.button !== 0 || last.current !== null) {
        return;
      }
      const board = event.currentTarget as HTMLElement;
      board.setPointerCapture(event.pointerId);
      const cell = cellAt(board, event, config);
      last.current = { pointer: event.pointerId, cell };
      actions.moveCursor(cell);
      actions.paint([cell]);
    },
    onPointerMove: (event) => {
      const from = last.current;
      if (from === null || from.pointer !== event.pointerId) {
        return;
      }
      const cells: Cell[] = [];
      let cell = from.cell;
      for (const moved of coalesced(event)) {
        const to = cellAt(event.currentTarget as HTMLElement, moved, config);
        if (to.x !== cell.x || to.y !== cell.y) {
          cells.push(...between(cell, to));
          cell = to;
        }
      }
      if (cells.length > 0) {
        last.current = { pointer: event.pointerId, cell };
        actions.moveCursor(cell);
        actions.paint(cells);
      }
    },
    onPointerUp: end,
    onPointerCancel: end,
  };
}

/** All pointer positions since the last event, where the browser reports them. */
function coalesced(event: PointerEvent): readonly PointerEvent[] {
  const events = event.getCoalescedEvents?.() ?? [];
  return events.length > 0 ? events : [event];
}

function cellAt(board: HTMLElement, event: PointerEvent, { width, height }: Config): Cell {
  const box = board.getBoundingClientRect();
  const at = (part: number, size: number): number => Math.min(size - 1, Math.max(0, Math.floor(part * size)));
  return {
    x: at((event.clientX - box.left) / box.width, width),
    y: at((event.clientY - box.top) / box.height, height),
  };
}
