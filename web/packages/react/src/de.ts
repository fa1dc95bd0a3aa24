/** German: `import { statusOf } from "@roomkeeper/react/de"`. */
import type { Ended, View } from "@roomkeeper/client";
import { type ReasonWords, reasonIn, type StatusWords, statusIn } from "./words.js";

const TECHNICAL = "Das Gespräch musste wegen eines technischen Problems enden.";

export const MESSAGES: ReasonWords = {
  completed: "Das Gespräch ist abgeschlossen. Vielen Dank.",
  transferred: "Sie wurden weiterverbunden.",
  time_limit: "Die Zeit für dieses Gespräch ist um.",
  user_ended: "Sie haben das Gespräch beendet.",
  caller_hung_up: "Der Anruf ist beendet.",
  user_left: "Das Gespräch endete, weil Sie gegangen sind.",
  user_lost: "Das Gespräch endete, weil Ihre Verbindung abgebrochen war.",
  user_away: "Das Gespräch endete, weil niemand geantwortet hat.",
  user_never_joined: "Das Gespräch wurde geschlossen, weil niemand rechtzeitig gekommen ist.",
  call_failed: "Der Anruf konnte nicht verbunden werden.",
  voicemail: "Den Anruf hat ein Gerät angenommen.",
  agent_left: "Das Gespräch ist vorbei.",
  operator_ended: "Das Gespräch wurde vom Veranstalter beendet.",
  removed: "Sie wurden aus dem Gespräch entfernt.",
  room_deleted: "Das Gespräch ist vorbei.",
  agent_failed: TECHNICAL,
  model_failed: TECHNICAL,
  agent_unavailable: "Im Moment ist niemand erreichbar. Bitte versuchen Sie es später noch einmal.",
  room_lost: TECHNICAL,
};

export const STATUS: StatusWords = {
  connecting: "Verbindung wird aufgebaut …",
  waiting: "Warten auf den Gesprächspartner …",
  listening: "Ihr Gesprächspartner hört zu",
  thinking: "Ihr Gesprächspartner denkt nach …",
  speaking: "Ihr Gesprächspartner spricht",
  reconnecting: "Ihre Verbindung ist unterbrochen und wird wiederhergestellt …",
  recovering: "Ihr Gesprächspartner hat die Verbindung verloren und kommt gleich zurück …",
  holding: "Das Gespräch wartet auf Sie.",
  ending: "Das Gespräch wird beendet …",
  ended: "Das Gespräch ist beendet.",
  microphone: "Das Mikrofon ist nicht verfügbar.",
  duplicate_tab: "Das Gespräch läuft in einem anderen Tab weiter.",
  token: "Sie konnten nicht eingelassen werden.",
  server: "Der Server ist nicht erreichbar.",
};

/** One sentence about what is shown. */
export const statusOf = (view: View): string => statusIn(view, STATUS);

/** Why it is over: in words of the policy, if it has its own, else in German. */
export const reasonOf = (ended: Ended): string => reasonIn(ended, MESSAGES);
