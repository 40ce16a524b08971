package caddycors

// ForgetDenials lets a test start with an empty list, and with all the log lines of a minute before it.
func ForgetDenials() {
	allDenials.clear()
	allDenials.mu.Lock()
	defer allDenials.mu.Unlock()
	allDenials.lines = 0
}
