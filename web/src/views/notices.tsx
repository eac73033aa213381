// Messages to the user: removed pixels, and a full queue.

import type { Notice } from "../state/model";

export function Notices({ notices, close }: { notices: readonly Notice[]; close: (id: number) => void }) {
  return (
    <div class="notices" role="log" aria-label="Messages" aria-live="polite">
      {notices.map((notice) => (
        <div key={notice.id} class={`notice ${notice.tone}`}>
          <p>{notice.text}</p>
          <button type="button" class="quiet" onClick={() => close(notice.id)}>
            Close
          </button>
        </div>
      ))}
    </div>
  );
}
