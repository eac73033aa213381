// Paints the picture, and over it the pixels that it does not contain yet, sharp at every page size and screen density.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { rgb } from "../state/format";
import type { Config, Pixel } from "../state/model";
import { visibleOwn } from "../state/own";
import { overlay } from "../state/queue";
import { BLANK } from "../state/replica";
import type { State } from "../state/state";

/** The line width of a hollow pixel, as a fraction of the pixel's width. */
const RING = 0.24;
/** The opacity of what is not highlighted, or is going to be cleared. */
const DIMMED = 0.2;

interface Scene extends Pick<State, "replica" | "queue" | "acked" | "own" | "isOwnHighlighted"> {
  readonly config: Config;
}

/** Returns the ref of the canvas to paint. */
export function useSurface(state: State, config: Config): { current: HTMLCanvasElement | null } {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [edge, setEdge] = useState(0);
  const source = useMemo(() => new OffscreenCanvas(config.width, config.height), [config]);
  const { replica, queue, acked, own, isOwnHighlighted } = state;
  useEffect(() => {
    const element = canvas.current;
    if (element === null) {
      return;
    }
    const observer = new ResizeObserver(() => setEdge(element.clientWidth * devicePixelRatio));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = canvas.current;
    if (element !== null && edge > 0) {
      paint(element, source, edge, { replica, queue, acked, own, isOwnHighlighted, config });
    }
  }, [edge, source, replica, queue, acked, own, isOwnHighlighted, config]);
  return canvas;
}

function paint(canvas: HTMLCanvasElement, source: OffscreenCanvas, edge: number, scene: Scene): void {
  const { width, height, colors } = scene.config;
  const cell = Math.max(1, Math.round(edge / width));
  if (canvas.width !== cell * width || canvas.height !== cell * height) {
    canvas.width = cell * width;
    canvas.height = cell * height;
  }
  const context = canvas.getContext("2d");
  if (context === null) {
    return;
  }
  paintConfirmed(source, scene);
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const unconfirmed = overlay(scene.queue, scene.acked);
  if (unconfirmed.picture !== "hidden") {
    context.globalAlpha = unconfirmed.picture === "dimmed" || scene.isOwnHighlighted ? DIMMED : 1;
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  const fill = ({ x, y, color }: Pick<Pixel, "x" | "y" | "color">): void => {
    context.clearRect(x * cell, y * cell, cell, cell);
    context.fillStyle = colors[color] ?? "transparent";
    context.fillRect(x * cell, y * cell, cell, cell);
  };
  if (scene.isOwnHighlighted && unconfirmed.picture === "visible") {
    for (const at of visibleOwn(scene.own, scene.replica)) {
      fill({ x: at % width, y: Math.floor(at / width), color: scene.own[at] ?? BLANK });
    }
  }
  unconfirmed.acked.forEach(fill);
  const ring = Math.max(1, Math.round(cell * RING));
  for (const { x, y, color } of unconfirmed.queued) {
    context.clearRect(x * cell, y * cell, cell, cell);
    context.strokeStyle = colors[color] ?? "transparent";
    context.lineWidth = ring;
    context.strokeRect(x * cell + ring / 2, y * cell + ring / 2, cell - ring, cell - ring);
  }
}

/** Cells that were never painted stay transparent, so that the background of the page is visible. */
function paintConfirmed(source: OffscreenCanvas, { replica, config }: Scene): void {
  const context = source.getContext("2d");
  if (context === null) {
    return;
  }
  const image = context.createImageData(config.width, config.height);
  const colors = config.colors.map(rgb);
  replica.picture?.pixels.forEach((index, at) => {
    const color = index === BLANK ? undefined : colors[index];
    if (color !== undefined) {
      image.data.set([...color, 255], at * 4);
    }
  });
  context.putImageData(image, 0, 0);
}
