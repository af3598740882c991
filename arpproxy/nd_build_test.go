package arpproxy

const (
	ownIP6   = "fd00:10:3::"
	hostIP6  = "fd00:10:10::"
	podIP6   = "fd00:10:10::7"
	printIP6 = "fd00:10:10::8"
	movedIP6 = "fd00:10:3::9"
)
