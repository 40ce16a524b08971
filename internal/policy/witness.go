package policy

import "context"

// A Witness is told of each decision that is made of a request, by a handler that it watches.
type Witness func(Request, Decision)

type witnessKey struct{}

// WithWitness returns a context for provisioning handlers with a witness.
func WithWitness(ctx context.Context, w Witness) context.Context {
	return context.WithValue(ctx, witnessKey{}, w)
}

// WitnessIn returns the witness of handlers that are provisioned in the context, or nil.
func WitnessIn(ctx context.Context) Witness {
	w, _ := ctx.Value(witnessKey{}).(Witness)
	return w
}
