package oidc

import (
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"
)

// Result is how a login ended, as the metric counts it.
type Result string

// The results.
const (
	OK       Result = "ok"       // the person is let in
	NoRole   Result = "no_role"  // known to the provider, but none of the roles
	Declined Result = "declined" // the provider let nobody in
	Stale    Result = "stale"    // not begun in this browser, too long ago, or used before
	BadToken Result = "token"    // the provider's answer is not to be trusted
	Away     Result = "provider" // the provider cannot be reached
)

// Error is a login that did not succeed.
type Error struct {
	Result Result
	Text   string // for the person: what happened, and what to do
	cause  error  // for the log
}

// Error is the cause, for the log; it holds no code and no token.
func (e *Error) Error() string {
	text := e.cause.Error()
	if len(text) > maxCause {
		text = text[:maxCause] + "..."
	}
	return "log in by OpenID Connect: " + text
}

// maxCause bounds the bytes of a cause, which may quote the provider's answer.
const maxCause = 400

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Status is the status of the page that shows the text.
func (e *Error) Status() int {
	switch e.Result {
	case NoRole, Declined:
		return http.StatusForbidden
	case Stale:
		return http.StatusBadRequest
	case Away:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

const again = "Log in again."

func stale(text string, cause error) *Error { return &Error{Stale, text, cause} }

func badToken(cause error) *Error {
	return &Error{BadToken, "The identity provider's answer could not be verified, so nobody was logged in. " + again +
		" If this goes on, tell whoever looks after the command center: the log says why.", cause}
}

func away(cause error) *Error {
	return &Error{Away, "The identity provider cannot be reached. Try again in a minute. Accounts of the command center itself work meanwhile.", cause}
}

// sort tells a provider that is away from an answer that is bad.
func sort(doing string, err error) *Error {
	var gone *awayError
	if errors.As(err, &gone) {
		return away(fmt.Errorf("%s: %w", doing, gone))
	}
	return badToken(fmt.Errorf("%s: %w", doing, err))
}

// exchangeError names the fault of a refused code without the provider's text, which may
// repeat what was sent.
func exchangeError(err error) *Error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return sort("exchange the code", err)
	}
	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	cause := fmt.Errorf("exchange the code: the provider answered %d, error %.64q", status, refused.ErrorCode)
	if refused.ErrorCode == "invalid_client" || status == http.StatusUnauthorized {
		cause = fmt.Errorf("%w: check client_id and the client's secret", cause)
		return badToken(cause)
	}
	if refused.ErrorCode == "invalid_grant" {
		return stale("The login was used before, or took too long. "+again, cause)
	}
	return badToken(cause)
}
