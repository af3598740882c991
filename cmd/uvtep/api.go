package main

import "github.com/uvtep/uvtep/internal/admin"

// requests are all that the agent answers on its admin socket. docs/api.md has
// them with their JSON.
func (a *agent) requests() admin.Requests {
	return admin.Requests{Views: a.views(), Queries: a.queries(), Questions: a.questions(), Changes: a.changes(), Streams: a.streams()}
}

// listen opens the admin socket and says who may use it.
func (a *agent) listen() (*admin.Server, error) {
	s, err := admin.Listen(admin.Config{Path: a.adminSocket, Group: admin.DefaultGroup, Version: version}, a.requests())
	if err != nil {
		return nil, err
	}
	a.log.Info().Str("socket", a.adminSocket).Str("owner", s.Access.Owner).Str("group", s.Access.Group).Msg("admin socket opened")
	if s.Access.Fault != "" {
		a.log.Warn().Str("group", admin.DefaultGroup).Msgf("the group cannot use the admin socket: %s", s.Access.Fault)
	}
	return s, nil
}
