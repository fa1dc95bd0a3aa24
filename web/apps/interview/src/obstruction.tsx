import type { Obstacle, Session } from "@roomkeeper/react";
import { useWords } from "./words";

/** Why it does not go on by itself, and what the user can do about it. */
export function Obstruction({ session, cause }: { session: Session; cause: Obstacle }) {
  const { advice, typeInstead } = useWords();
  const { title, text, retry } = advice[cause];
  return (
    <div className="obstruction" role="alert">
      <h2>{title}</h2>
      <p>{text}</p>
      <div className="choices">
        <button type="button" className="primary" onClick={() => void session.retry()}>
          {retry}
        </button>
        {cause === "microphone" && (
          <button type="button" className="quiet" onClick={() => void session.setMicrophone(false)}>
            {typeInstead}
          </button>
        )}
      </div>
    </div>
  );
}
