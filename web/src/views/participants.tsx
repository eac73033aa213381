// The participants of the channel. Without a connection, the last known participants are shown as outdated.

import { count } from "../state/format";
import type { Participant } from "../state/model";

const SHOWN_MAX = 14;

interface Props {
  readonly participants: ReadonlyMap<string, Participant>;
  readonly self: string | null;
  readonly isCurrent: boolean;
}

export function Participants({ participants, self, isCurrent }: Props) {
  const own = [...participants.values()].filter((participant) => participant.client === self);
  const others = [...participants.values()].filter((participant) => participant.client !== self);
  others.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const ordered = [...own, ...others];
  const rest = ordered.length - SHOWN_MAX;
  return (
    <section class={`participants ${isCurrent ? "" : "outdated"}`} aria-label="Participants">
      <h2>
        {isCurrent ? "Present now" : "Last seen"} <span>{count(ordered.length, "client")}</span>
      </h2>
      <ul data-testid="participants">
        {ordered.slice(0, SHOWN_MAX).map((participant) => (
          <li key={participant.client} class={participant.client === self ? "self" : ""}>
            {participant.name}
            {participant.client === self && <span> (you)</span>}
          </li>
        ))}
        {rest > 0 && <li class="rest">and {rest} more</li>}
      </ul>
    </section>
  );
}
