// The colours: one choice of many, so the browser's own radio buttons do the keys.

import { colorName } from "../state/words";

interface Props {
  readonly colors: readonly string[];
  readonly chosen: number;
  readonly choose: (color: number) => void;
}

export function Palette({ colors, chosen, choose }: Props) {
  return (
    <fieldset class="palette">
      <legend class="hidden">Colour</legend>
      {colors.map((color, index) => (
        <label key={color} title={colorName(color)} style={{ "--color": color }}>
          <input type="radio" name="color" checked={index === chosen} onChange={() => choose(index)} />
          <span class="hidden">{colorName(color)}</span>
        </label>
      ))}
    </fieldset>
  );
}
