// Package doctor finds what is wrong on a host: from facts to findings, each with
// a severity and what to do. `uvtep doctor` gathers the facts (cmd/uvtep) and
// prints the findings; docs/doctor.md explains each check.
//
//	Facts ──> checks ──> findings: check, severity, text, fix
//
// A check is a function of the facts alone: it reads nothing, asks nobody, and
// changes nothing. What is not known is no finding, unless not knowing is one.
// Severities are about the overlay on this host: an error is what keeps it from
// working, a warning what will or does so in part, a note what is worth knowing.
package doctor
