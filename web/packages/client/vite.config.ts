import { library } from "../library";

export default library(["livekit-client"], "transcript");
