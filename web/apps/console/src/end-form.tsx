import { useState } from "react";

/** Ending a session: a second click, and one sentence for the user if the operator has one. */
export function EndForm({ end }: { end(detail: string): Promise<void> }) {
  const [open, setOpen] = useState(false);
  const [detail, setDetail] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  if (!open) {
    return (
      <button type="button" className="danger" onClick={() => setOpen(true)}>
        End session
      </button>
    );
  }
  return (
    <form
      className="end"
      onSubmit={async (event) => {
        event.preventDefault();
        try {
          await end(detail);
          setOpen(false);
        } catch (error) {
          setProblem(error instanceof Error ? error.message : String(error));
        }
      }}
    >
      <input
        // biome-ignore lint/a11y/noAutofocus: it appears because the operator asked for it
        autoFocus
        aria-label="What the user is told"
        placeholder="What the user is told (optional)"
        maxLength={1000}
        value={detail}
        onChange={(event) => setDetail(event.target.value)}
      />
      <button type="submit" className="danger">
        End for everybody
      </button>
      <button type="button" onClick={() => setOpen(false)}>
        Cancel
      </button>
      {problem && <p role="alert">{problem}</p>}
    </form>
  );
}
