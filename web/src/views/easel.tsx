// The canvas with its cursor: what is drawn on it, and how mouse, finger and keys draw.

import { useRef, useState } from "preact/hooks";
import type { Feed } from "../feed/feed";
import { BLANK, colorAt } from "../state/follow";
import { between } from "../state/line";
import type { Cell, Config } from "../state/model";
import { shown } from "../state/queue";
import type { State } from "../state/state";
import { colorName } from "../state/words";
import { useSurface } from "./surface";

interface Props {
  readonly state: State;
  readonly config: Config;
  readonly feed: Feed;
}

export function Easel({ state, config, feed }: Props) {
  const surface = useSurface(state, config);
  const [told, setTold] = useState("");
  const stroke = useStroke(config, feed);
  const { cursor } = state;
  const describe = (cell: Cell): void => setTold(sentence(feed.now(), config, cell));
  const actions: Readonly<Record<string, () => void>> = {
    Enter: () => paintHere(),
    " ": () => paintHere(),
    "[": () => chooseNext(config.colors.length - 1),
    "]": () => chooseNext(1),
  };
  const paintHere = (): void => {
    const { cursor: cell, color } = feed.now();
    feed.paint([cell]);
    setTold(`${place(cell)} painted ${nameOf(config, color)}`);
  };
  const chooseNext = (by: number): void => {
    const color = (feed.now().color + by) % config.colors.length;
    feed.choose(color);
    setTold(`Colour ${nameOf(config, color)}`);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const moved = step(event.key, event.shiftKey ? 8 : 1, feed.now().cursor, config);
    const act = actions[event.key];
    if (moved === null && act === undefined) {
      return;
    }
    event.preventDefault();
    act?.();
    if (moved !== null) {
      feed.moveTo(moved);
      describe(moved);
    }
  };
  return (
    <div class="easel">
      {/* A canvas has no keys of its own; this role hands them to us, and the text below tells what they do. */}
      <div
        class="board"
        role="application"
        aria-roledescription="pixel canvas"
        aria-label={`Canvas of ${config.width} by ${config.height} pixels`}
        aria-describedby="keys"
        data-testid="board"
        data-epoch={state.follow.picture?.epoch}
        data-offset={state.follow.needed === null ? state.follow.picture?.offset : undefined}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is drawn on by keys
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
      <p class="hidden" role="status" data-testid="told">
        {told}
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
  const way = STEPS[key];
  if (way === undefined) {
    return null;
  }
  const within = (value: number, size: number): number => Math.min(size - 1, Math.max(0, value));
  return { x: within(from.x + way[0] * by, config.width), y: within(from.y + way[1] * by, config.height) };
}

function nameOf({ colors }: Config, color: number): string {
  return colorName(colors[color] ?? "#000000");
}

function place({ x, y }: Cell): string {
  return `Column ${x + 1}, row ${y + 1}`;
}

function sentence(state: State, config: Config, cell: Cell): string {
  const own = shown(state.queue, state.acked, cell);
  const color = own?.color ?? colorAt(state.follow, cell.x, cell.y);
  const name = color === BLANK ? "empty" : nameOf(config, color);
  const isWaiting = state.queue.some((item) => item.x === cell.x && item.y === cell.y);
  return `${place(cell)}: ${name}${isWaiting ? ", not acknowledged yet" : ""}`;
}

interface Stroke {
  readonly onPointerDown: (event: PointerEvent) => void;
  readonly onPointerMove: (event: PointerEvent) => void;
  readonly onPointerUp: (event: PointerEvent) => void;
  readonly onPointerCancel: (event: PointerEvent) => void;
}

/** One finger or the first mouse button draws; a fast one still draws a whole line. */
function useStroke(config: Config, feed: Feed): Stroke {
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
      feed.moveTo(cell);
      feed.paint([cell]);
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
        feed.moveTo(cell);
        feed.paint(cells);
      }
    },
    onPointerUp: end,
    onPointerCancel: end,
  };
}

/** All places since the last event, where the browser tells them. */
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
