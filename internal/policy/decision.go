package policy

// A Decision is what a policy makes of one request, and why.
type Decision struct {
	Outcome Outcome
	Policy  *Policy // that decided
	Reason  Reason  // for a denial
	Detail  string  // what was denied: the origin, the method or the header name, as the request had it

	// AllowOrigin is the value of Access-Control-Allow-Origin; empty if there is none to send, and then no other CORS
	// header either.
	AllowOrigin string

	// AllowMethods and AllowHeaders are the values of Access-Control-Allow-Methods and -Headers, for preflights.
	AllowMethods, AllowHeaders string

	// AllowPrivateNetwork is true for preflights that asked for a private network, and may have it.
	AllowPrivateNetwork bool
}

// Outcome is the gist of a decision, a word that logs and metrics use too.
type Outcome string

// What a request can come to.
const (
	Allowed    Outcome = "allowed"
	Denied     Outcome = "denied"
	SameOrigin Outcome = "same-origin" // CORS does not apply
	NoOrigin   Outcome = "no-origin"   // not a CORS request
)

// Reason says why a request was denied.
type Reason string

// Why a request can be denied.
const (
	OriginNotAllowed         Reason = "origin-not-allowed"
	OriginNull               Reason = "origin-null"
	OriginInvalid            Reason = "origin-invalid"
	MethodNotAllowed         Reason = "method-not-allowed"
	HeaderNotAllowed         Reason = "header-not-allowed"
	PrivateNetworkNotAllowed Reason = "private-network-not-allowed"
)

// The reasons by what is asked for: a permission for the origin at all, or one that a preflight asks for besides.
var (
	OriginReasons    = []Reason{OriginNotAllowed, OriginNull, OriginInvalid}
	PreflightReasons = []Reason{MethodNotAllowed, HeaderNotAllowed, PrivateNetworkNotAllowed}
)
