import { EndButton } from "@roomkeeper/react";
import { useRef } from "react";
import { useWords } from "./words";

/** Ends the interview, after asking once. */
export function EndDialog() {
  const { conversation } = useWords();
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" className="end" onClick={() => dialog.current?.showModal()}>
        {conversation.end}
        <span className="visually-hidden"> {conversation.endWhat}</span>
      </button>
      <dialog ref={dialog} aria-labelledby="end-question">
        <h2 id="end-question">{conversation.endQuestion}</h2>
        <p>{conversation.endWarning}</p>
        <div className="choices">
          <button type="button" className="quiet" onClick={() => dialog.current?.close()}>
            {conversation.keepGoing}
          </button>
          <EndButton className="danger" onClick={() => dialog.current?.close()}>
            {conversation.endNow}
          </EndButton>
        </div>
      </dialog>
    </>
  );
}
