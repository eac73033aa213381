// The user's name, as other participants see it. It changes when the field loses the focus or Enter is pressed.

export function NameField({ name, rename }: { name: string; rename: (name: string) => void }) {
  return (
    <form
      class="name"
      onSubmit={(event) => {
        event.preventDefault();
        event.currentTarget.querySelector("input")?.blur();
      }}
    >
      <label for="name">Your name</label>
      <input
        id="name"
        value={name}
        autocomplete="nickname"
        spellcheck={false}
        onChange={(event) => {
          if (event.currentTarget.value !== name) {
            rename(event.currentTarget.value);
          }
        }}
      />
    </form>
  );
}
