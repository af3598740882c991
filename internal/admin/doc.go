// Package admin is the window into a running agent: HTTP with JSON on a unix
// socket, read by the commands of cmd/uvtep and by anybody's curl.
//
//	curl --unix-socket /run/uvtep/uvtep.sock http://uvtep/v1/stats
//
// Who may open the socket (mode 0660) may read everything; nothing can be
// changed. A view is made anew for each request, on the goroutine of the
// request, so it costs the agent nothing while nobody asks.
package admin
