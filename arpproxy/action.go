package arpproxy

import "strconv"

// Action is what becomes of a frame from the TAP, as far as the proxy has a
// say. The zero Action is Pass.
type Action uint8

const (
	// Pass means that the frame is none of the proxy's business: it is
	// forwarded as any frame.
	Pass Action = iota
	// Answer means that Reply answers the frame, and nothing goes out.
	Answer
	// Silent means that the frame is dropped: nobody is to answer it.
	Silent
	// Malformed means that the frame is dropped because it is not what its
	// type says.
	Malformed
	// Conflict means that the frame is dropped because its sender claims an
	// address that is bound to another station. The binding is returned.
	Conflict
	// Unknown means a question for an address without a binding. It is
	// dropped, or replicated where the network floods.
	Unknown
	// Gratuitous means an announcement that conflicts with nothing. It is
	// dropped, or replicated where the network floods.
	Gratuitous
)

var actions = [...]string{
	Pass: "Pass", Answer: "Answer", Silent: "Silent", Malformed: "Malformed",
	Conflict: "Conflict", Unknown: "Unknown", Gratuitous: "Gratuitous",
}

// String returns the name of the constant.
func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return "Action(" + strconv.Itoa(int(a)) + ")"
}
