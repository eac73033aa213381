// Who is here. While the connection is away, this is who was here last.

import type { Person } from "../state/model";
import { count } from "../state/words";

const SHOWN_MAX = 14;

interface Props {
  readonly people: ReadonlyMap<string, Person>;
  readonly self: string | null;
  readonly isCurrent: boolean;
}

export function People({ people, self, isCurrent }: Props) {
  const own = [...people.values()].filter((person) => person.client === self);
  const others = [...people.values()].filter((person) => person.client !== self);
  others.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const ordered = [...own, ...others];
  const rest = ordered.length - SHOWN_MAX;
  return (
    <section class={`people ${isCurrent ? "" : "past"}`} aria-label="Who is here">
      <h2>
        {isCurrent ? "Here now" : "Last seen here"} <span>{count(ordered.length, "client")}</span>
      </h2>
      <ul data-testid="people">
        {ordered.slice(0, SHOWN_MAX).map((person) => (
          <li key={person.client} class={person.client === self ? "self" : ""}>
            {person.name}
            {person.client === self && <span> (you)</span>}
          </li>
        ))}
        {rest > 0 && <li class="rest">and {rest} more</li>}
      </ul>
    </section>
  );
}
