// A line chart of the last minute, without axes; the number next to the chart is the current value.

const WIDTH = 120;
const HEIGHT = 28;

export function Spark({ values }: { values: readonly number[] }) {
  if (values.length < 2) {
    return null;
  }
  const maximum = Math.max(1, ...values);
  const x = (index: number): number => (index / (values.length - 1)) * WIDTH;
  const y = (value: number): number => HEIGHT - 2 - (value / maximum) * (HEIGHT - 4);
  const line = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <polygon points={`0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />
      <polyline points={line} />
    </svg>
  );
}
