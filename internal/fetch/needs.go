package fetch

// Needs is all that a response is seen to lack which a call needs, so that it can be mended at once: a browser tells the
// first of it alone. What only a later response could show is not in it.
type Needs struct {
	URL string // of the response
	At  Part   // AtPreflight, AtRedirect or AtResponse

	Status      bool     // of a preflight: one from 200 to 299
	Origin      string   // in Access-Control-Allow-Origin: what the Origin field says
	Credentials bool     // Access-Control-Allow-Credentials: true
	Method      string   // in Access-Control-Allow-Methods
	Headers     []string // in Access-Control-Allow-Headers, in lower case and sorted
}

// need writes down what a response lacks that the CORS check looks at, and of a preflight, the rest.
func (f *fetch) need(response *response, at Part) {
	n := &Needs{URL: f.current(), At: at}
	allowOrigin, _ := get(response.header, "Access-Control-Allow-Origin")
	if origin := f.serializedOrigin(); allowOrigin != origin && (allowOrigin != "*" || f.include()) {
		n.Origin = origin
	}
	allowCredentials, _ := get(response.header, "Access-Control-Allow-Credentials")
	n.Credentials = f.include() && allowCredentials != "true"
	if at == AtPreflight {
		n.Status = !isOKStatus(response.status)
		methods, _, _ := extractTokens(response.header, "Access-Control-Allow-Methods")
		if !f.allowsMethod(methods) {
			n.Method = f.method
		}
		headerNames, _, _ := extractTokens(response.header, "Access-Control-Allow-Headers")
		n.Headers = f.missingHeaders(headerNames)
	}
	f.result.Needs = n
}
