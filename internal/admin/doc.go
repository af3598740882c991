// Package admin is the window into a running agent: HTTP with JSON on a unix
// socket, used by the commands of cmd/uvtep and by anybody's curl.
//
//	curl --unix-socket /run/uvtep/uvtep.sock http://uvtep/v1/stats
//	curl --unix-socket /run/uvtep/uvtep.sock -X PUT -d '{"offload":"off"}' http://uvtep/v1/link/offload
//
// Who may open the socket may read every view and make every change: root, and
// the group uvtep on a machine that has one (mode 0660). Nothing that changes an
// agent is to be had anywhere else.
//
// Paths begin with the version of the requests. "/" lists them; whatever is not
// there is answered with what is. docs/api.md has them all, with their JSON.
//
// A view is made anew for each request, on the goroutine of the
// request, so it costs the agent nothing while nobody asks. A change is a PUT
// of a whole, small JSON object: made twice it is made once, and its answer
// comes when it is in force. What goes wrong is answered as {"error": "…"}.
package admin
