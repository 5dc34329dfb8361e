// The start page tells about the certificate only where this server made one.

import { api } from "./api.js";
import { $, show } from "./dom.js";

show($("trust"), await api.exists("/trust"));
