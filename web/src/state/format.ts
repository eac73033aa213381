// Formats numbers, times and colours as text.

export function duration(ms: number): string {
  if (ms < 1_000) {
    return `${Math.round(ms)} ms`;
  }
  return ms < 60_000 ? `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s` : `${Math.round(ms / 60_000)} min`;
}

/** An age: in seconds below two minutes, then in minutes. */
export function age(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return seconds < 120 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

export function count(amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString("en")} ${amount === 1 ? one : many}`;
}

/** The seconds until a time, for a countdown; never below zero. */
export function secondsUntil(atMs: number, nowMs: number): string {
  return (Math.max(0, atMs - nowMs) / 1_000).toFixed(1);
}

const NAMED: readonly (readonly [string, number, number, number])[] = [
  ["black", 20, 20, 24],
  ["dark grey", 80, 84, 92],
  ["grey", 140, 144, 152],
  ["light grey", 205, 208, 212],
  ["white", 255, 255, 255],
  ["red", 214, 48, 49],
  ["dark red", 120, 20, 30],
  ["orange", 240, 130, 40],
  ["brown", 130, 80, 45],
  ["yellow", 245, 205, 65],
  ["light green", 140, 205, 90],
  ["green", 50, 150, 80],
  ["dark green", 20, 85, 55],
  ["turquoise", 55, 180, 175],
  ["light blue", 100, 180, 240],
  ["blue", 45, 100, 210],
  ["dark blue", 25, 45, 110],
  ["violet", 125, 80, 190],
  ["pink", 240, 130, 180],
  ["magenta", 200, 50, 140],
  ["beige", 245, 215, 175],
];

/**
 * The names of a palette's colours, for users who cannot see them: the nearest named colours, each used once as long as
 * there are enough.
 */
export function colorNames(colors: readonly string[]): readonly string[] {
  const pairs = colors.flatMap((hex, index) =>
    NAMED.map(([name, ...named]) => ({ index, name, distance: distance(rgb(hex), named) })),
  );
  pairs.sort((a, b) => a.distance - b.distance);
  const names: string[] = [];
  const used = new Set<string>();
  for (const { index, name } of pairs) {
    if (names[index] === undefined && !used.has(name)) {
      names[index] = name;
      used.add(name);
    }
  }
  return colors.map((hex, index) => names[index] ?? hex);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, at) => sum + (value - (b[at] ?? 0)) ** 2, 0);
}

export function rgb(hex: string): readonly [number, number, number] {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
