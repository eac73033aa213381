// The colours, as radio buttons, so that the browser handles the keyboard.

interface Props {
  readonly colors: readonly string[];
  readonly names: readonly string[];
  readonly chosen: number;
  readonly choose: (color: number) => void;
}

export function Palette({ colors, names, chosen, choose }: Props) {
  return (
    <fieldset class="palette">
      <legend class="hidden">Colour</legend>
      {colors.map((color, index) => (
        <label key={color} title={names[index]} style={{ "--color": color }}>
          <input type="radio" name="color" checked={index === chosen} onChange={() => choose(index)} />
          <span class="hidden">{names[index]}</span>
        </label>
      ))}
    </fieldset>
  );
}
