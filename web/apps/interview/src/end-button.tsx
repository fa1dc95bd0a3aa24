import { useRef } from "react";

/** Ends the interview, after asking once. */
export function EndButton({ onEnd }: { onEnd: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" className="end" onClick={() => dialog.current?.showModal()}>
        End
        <span className="visually-hidden"> the interview</span>
      </button>
      <dialog ref={dialog} aria-labelledby="end-question">
        <h2 id="end-question">End the interview?</h2>
        <p>You cannot come back to it afterwards.</p>
        <form method="dialog">
          <button type="submit" className="quiet">
            Keep going
          </button>
          <button type="submit" className="danger" onClick={onEnd}>
            End now
          </button>
        </form>
      </dialog>
    </>
  );
}
