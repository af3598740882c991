// Package admin is the window into a running agent: HTTP with JSON on a unix
// socket, used by the commands of cmd/uvtep and by anybody's curl.
//
//	curl --unix-socket /run/uvtep/uvtep.sock http://uvtep/v1/stats
//	curl --unix-socket /run/uvtep/uvtep.sock -X PUT -d '{"offload":"off"}' http://uvtep/v1/link/offload
//
// Who may open the socket (mode 0660) may read every view and make every
// change. A view is made anew for each request, on the goroutine of the
// request, so it costs the agent nothing while nobody asks. A change is a PUT
// of a whole, small JSON object: made twice it is made once, and its answer
// comes when it is in force. What goes wrong is answered as {"error": "…"}.
package admin
