/** The shell around the model: one LiveKit room, what the user does to it, and the way back into it. */
import { Room, setLogLevel } from "livekit-client";
import { accessTo, type Guest } from "./access.js";
import type { ControlPlane, EndAnswer, Standing } from "./control.js";
import { received } from "./engine.js";
import { type ConnectFailure, INITIAL, type Model, type Tell } from "./model.js";
import { browserPage, type Page, type PageEvent } from "./page.js";
import type { SessionRecord } from "./record.js";
import { RECONNECT_POLICY } from "./retry.js";
import { returning } from "./returning.js";
import { listen, look } from "./room-events.js";
import { createStore, type Store } from "./store.js";
import { claimsOf } from "./token.js";
import { witness } from "./witness.js";

/** Milliseconds between two looks at the room and at what arrived. */
const BEAT_MS = 300;
/** Milliseconds between two beats that mean that the machine slept. */
const SLEPT_MS = 5_000;
/** Milliseconds between two questions while the page waits for something that the control plane would tell. */
const ASK_EVERY_MS = 5_000;
/** Milliseconds in a room until the first, in which the control plane hears of a session that begins. */
const FIRST_ASK_MS = 1_000;
/** Milliseconds after the end until this page leaves by itself, should the room outlive it. */
const LEAVE_AFTER_MS = 5_000;
/** Milliseconds until the end is asked for again when nobody could be asked. */
const END_PAUSE_MS = 1_500;

/** Milliseconds after the page seemed to go away in which livekit-client leaves the room because of that. */
const AWAY_MS = 2_000;

/** What a link becomes that is no evidence, or is noted with more. */
const ROUTINE = ["connecting", "connected", "failed"];

export interface SessionOptions {
  /** Who joins, and in which room (null: a new one). Left out: the room is connected by somebody else. */
  readonly join?: Guest & { readonly room: string | null; readonly microphone: Microphone };
  /** The LiveKit room; one is made if left out. */
  readonly livekit?: Room;
  /** Null: there is none, and nobody is asked or told anything. */
  readonly control?: ControlPlane | null;
  /** Writes down the conversation; left out: nobody does, or LiveKit's components do. */
  readonly transcript?: ((inside: Inside) => () => void) | undefined;
  readonly store?: Store;
  readonly clock?: () => number;
  readonly page?: Page;
}

export interface Microphone {
  readonly on: boolean;
  readonly deviceId: string | null;
}

/** What whoever watches the room with the session gets to see. */
export interface Inside extends Pick<Session, "room" | "tell" | "subscribe"> {
  readonly latest: Store["latest"];
}

/** Nothing in it ever rejects. */
export interface Session {
  readonly room: Room;
  readonly subscribe: Store["subscribe"];
  readonly snapshot: Store["snapshot"];
  readonly tell: Tell;
  /** Begin to watch the room; and join it, unless somebody else does. Whoever opens it closes it. */
  open(): void;
  /** Stop watching, once everybody has closed it; and leave the room, unless somebody else joined it. */
  close(): void;
  /** Turn the microphone on or off; off, too, where the user would rather type. */
  setMicrophone(on: boolean): Promise<void>;
  /** Try again what the view says is blocked. */
  retry(): Promise<void>;
  /**
   * End the session, as its user; where the policy lets others do that, only leave it. Resolves once that is decided, or
   * the room left; then an open session goes on asking for the end.
   */
  end(): Promise<void>;
}

export function createSession({
  join: guest,
  livekit,
  control,
  transcript,
  store: given,
  clock = Date.now,
  page = browserPage,
}: SessionOptions): Session {
  if (guest) setLogLevel("silent"); // its log may carry the token
  const { room: named = null, microphone } = guest ?? {};
  const deviceId = microphone?.deviceId;
  const room =
    livekit ?? new Room({ reconnectPolicy: RECONNECT_POLICY, ...(deviceId && { audioCaptureDefaults: { deviceId } }) });
  const store = given ?? createStore({ ...INITIAL, room: named });
  const { latest, subscribe, snapshot } = store;
  const access = accessTo(room, guest, clock);
  const stops: (() => void)[] = [];
  let opened = 0;
  let microphoneWanted = microphone?.on;
  let joining: Promise<void> | null = null;
  let leaving: ReturnType<typeof setTimeout> | undefined;
  let leavesByItself = false;
  let awayAt = 0;
  let beatAt = 0;
  let askedAt = 0;
  let endAt = Number.POSITIVE_INFINITY;

  const tell: Tell = (happened) => {
    const { type } = happened;
    if (type === "Connected" || type === "ConnectionRestored") onConnected(type);
    if (type === "MicrophoneChanged") microphoneWanted = happened.on;
    const byOther = !guest && !leavesByItself && type === "Disconnected" && clock() - awayAt > AWAY_MS;
    store.tell({
      // Whoever connected this room has left it, which is not for us to undo.
      ...(byOther && happened.reason === 1 // CLIENT_INITIATED
        ? { type: "Left", reason: "user_left" }
        : happened),
      at: clock(),
    });
  };

  const { note, noteLast, flush } = witness(clock, async (evidence) => {
    // A session that nobody has entered yet is not stored anywhere, nor is it in the first moment after that.
    const { sid, record } = latest();
    const token = access.token();
    return !!(control && sid && record?.seq && token) && control.tell(record.session, token, evidence);
  });

  const isConnected = () => room.state === "connected";

  /** Ask the control plane how the session stands. */
  const ask = async (): Promise<Standing> => {
    const { session, room: name, link, sid } = latest();
    const id = session ?? name;
    const token = access.token();
    if (link.is === "failed" && !sid) return { is: "unreachable" }; // not even begun: there is nothing to ask about
    if (!control || !id || !token) return { is: "unknown" };
    askedAt = clock();
    const standing = await control.state(id, token);
    if (standing.is === "known") tellRecord(standing.record);
    return standing;
  };

  const tellRecord = (record: SessionRecord) => tell({ type: "RecordSeen", record, writer: "", fresh: true });

  /** Leave the room, which is no end yet: an old token made it anew, or the end is to be recorded first. */
  const leave = async () => {
    leavesByItself = true;
    await room.disconnect();
    leavesByItself = false;
  };

  const nameRoom = (token: string, told: string | null) => {
    const { room: claimed, session } = claimsOf(token);
    const name = told ?? claimed;
    if (name) tell({ type: "RoomNamed", room: name, session });
  };

  /** Whether to be in the room still: it may have been closed or ended, or its end asked for, meanwhile. */
  const isWanted = () => {
    const { view, endRequested } = latest();
    return opened > 0 && !endRequested && (view.state !== "ended" || view.reason === "transferred");
  };

  const enter = async (again: boolean): Promise<ConnectFailure | null> => {
    const answer = await access.admission(latest().room);
    if (answer.is === "refused") return "token";
    if (answer.is === "unreachable") return "server";
    if (answer.is === "ended") {
      if (!answer.record) return "not_found";
      tellRecord(answer.record);
      return null;
    }
    nameRoom(answer.token, answer.room);
    return isWanted() ? access.enter(answer, again, isWanted) : null;
  };

  const joinOnce = async (quiet: boolean) => {
    if (isConnected()) return;
    tell({ type: "ConnectionBegun", quiet });
    let failure = await enter(quiet);
    if (failure === "token") {
      // Expired, or of a key that is no longer used: a new one may do.
      access.drop();
      failure = await enter(quiet);
    }
    if (failure) {
      note("connect_failed", { failure });
      tell({ type: "ConnectionFailed", failure });
    } else if (microphoneWanted && isConnected()) void setMicrophone(true); // the user may take long to allow it
  };

  const join = (quiet: boolean): Promise<void> => {
    joining ??= joinOnce(quiet).finally(() => {
      joining = null;
    });
    return joining;
  };

  const { attend, hurry, stop } = returning({
    room,
    latest,
    clock,
    tell,
    ask,
    join(fresh) {
      if (fresh) access.drop();
      return join(true);
    },
    possible: access.possible,
    leave,
  });

  const onConnected = (type: "Connected" | "ConnectionRestored") => {
    if (!guest) {
      // Whoever else connects the room may use it for one session after the other.
      const anew = type === "Connected" && !joining;
      if (anew) {
        store.reset();
        microphoneWanted = room.localParticipant.isMicrophoneEnabled;
      }
      const credentials = access.adopt(anew);
      if (credentials) nameRoom(credentials.token, room.name || null);
    }
    if (type === "ConnectionRestored") {
      note("reconnected");
      // livekit-client publishes it anew, and says nothing if that fails.
      if (microphoneWanted && !room.localParticipant.isMicrophoneEnabled) void setMicrophone(true);
    }
    void flush();
    if (latest().record?.seq) void ask();
    else askedAt = clock() - (ASK_EVERY_MS - FIRST_ASK_MS);
  };

  const beat = async () => {
    const at = clock();
    const milliseconds = at - beatAt;
    beatAt = at;
    const { link, view, record, endRequested } = latest();
    // While the signal is away, too: the control plane may be in reach.
    const expectant = view.state !== "live" && view.state !== "ended";
    const slept = milliseconds > SLEPT_MS;
    if (slept) {
      note("woke", { milliseconds });
      hurry();
    }
    if (endRequested && at >= endAt) void askForEnd();
    if (record && (slept || (expectant && at - askedAt > (endRequested ? FIRST_ASK_MS : ASK_EVERY_MS)))) void ask();
    if (link.is !== "connected" || !isConnected()) return;
    look(room, tell);
    const total = await received(room);
    if (total !== null) tell({ type: "Received", total });
  };

  const onPage = (event: PageEvent) => {
    const online = event === "online";
    if (online || event === "offline") tell({ type: "NetworkChanged", online });
    const leaving = event === "beforeunload" || event === "freeze";
    if (leaving || event === "pagehide") awayAt = clock();
    if (event === "pagehide") noteLast(event);
    else if (!leaving && event !== "pageshow") note(event);
    if (!online && event !== "visible" && event !== "pageshow") return;
    hurry();
    askedAt = 0;
    if (endAt < Number.POSITIVE_INFINITY) endAt = 0;
  };

  const onChange = (model: Model, before: Model) => {
    const { link, view, record, stalledSince } = model;
    if (link.is !== before.link.is) {
      const { is, ...said } = link;
      if (!ROUTINE.includes(is)) note(is, said);
    }
    if (stalledSince && !before.stalledSince) note("stalled");
    if (record?.seq && !before.record?.seq) void flush();
    if (model.microphone === "failed" && before.microphone !== "failed") note("microphone_failed");
    attend();
    if (view.state !== "ended" || (view === before.view && link === before.link)) return;
    if (link.is === "astray") void leave();
    // Whoever was transferred goes on with others.
    if (!guest || view === before.view || view.reason === "transferred") return;
    // Nobody listens any more: let go of the microphone now, and of the room soon; the goodbye may still be playing.
    for (const { track } of room.localParticipant.audioTrackPublications.values()) track?.stop();
    // Without a signal, livekit-client would make the room anew before that.
    leaving = setTimeout(() => void room.disconnect(), link.is === "connected" ? LEAVE_AFTER_MS : 0);
  };

  const setMicrophone = async (on: boolean) => {
    microphoneWanted = on;
    try {
      await room.localParticipant.setMicrophoneEnabled(on);
      tell({ type: "MicrophoneChanged", on });
    } catch {
      tell({ type: "MicrophoneFailed" });
    }
  };

  /** Ask for the end; who cannot have it leaves: for good if it is refused, else until it is recorded. */
  const askForEnd = async () => {
    endAt = Number.POSITIVE_INFINITY;
    const { session } = latest();
    const token = access.token();
    const answer: EndAnswer = control && session && token ? await control.end(session, token) : { is: "unknown" };
    if (!latest().endRequested) return; // by now another conversation takes place
    if (answer.is === "known") return tellRecord(answer.record);
    await leave();
    if (answer.is === "unreachable") endAt = clock() + END_PAUSE_MS;
    else tell({ type: "Left", reason: answer.is === "refused" ? "user_left" : "user_ended" });
  };

  return {
    room,
    subscribe,
    snapshot,
    tell,
    open() {
      if (opened++) return;
      beatAt = clock();
      const timer = setInterval(() => void beat(), BEAT_MS);
      stops.push(
        () => clearInterval(timer),
        () => clearTimeout(leaving),
        subscribe(onChange),
        transcript?.({ room, tell, subscribe, latest }) ?? stop,
        page(onPage),
        listen(room, tell),
        stop,
      );
      if (guest && !isConnected() && latest().view.state !== "ended") {
        // A join that `close` called off may still be on its way out.
        void Promise.resolve(joining).then(() => join(false));
      }
    },
    close() {
      if (--opened) return;
      for (const each of stops.splice(0)) each();
      if (guest) void room.disconnect();
    },
    setMicrophone,
    async retry() {
      const { view, link } = latest();
      if (view.state !== "blocked") return;
      if (view.cause === "microphone") return setMicrophone(true);
      if (link.is === "lost") return hurry();
      await join(false);
    },
    async end() {
      if (latest().view.state === "ended") return;
      tell({ type: "EndRequested" });
      await askForEnd();
    },
  };
}
