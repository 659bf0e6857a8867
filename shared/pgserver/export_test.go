package pgserver

import (
	"context"
	"log/slog"
)

// Find looks for PostgreSQL's programs as [Start] does, but in other places, and as root
// or not.
func Find(ctx context.Context, places []string, root bool, log *slog.Logger) (string, error) {
	return (&finder{places, root, log}).find(ctx, "")
}
