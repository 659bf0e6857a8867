package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"andon.internal/collector/web"
)

// TestLosses: what was lost is told with its reason, the most first; without the database
// it is said that it is not known.
func TestLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t)
		f.history.losses = []web.Loss{
			{Group: "austin-line1", Node: "cell-03", Reason: "crash", Count: 2},
			{Group: "austin-line1", Node: "cell-07", Reason: "overflow", Count: 40},
			{Group: "austin-line1", Node: "cell-07", Reason: "of the future", Count: 1},
		}
		stop := f.watch()
		defer stop()
		time.Sleep(1500 * time.Millisecond)
		got := f.get("/api/v1/losses", http.StatusOK)
		var text string
		list, _ := got["losses"].([]any)
		for _, one := range list {
			l, _ := one.(map[string]any)
			text += fmt.Sprintln(l["node"], l["reason"], l["records"], l["meaning"])
		}
		want := "cell-07 overflow 40 the buffer was full\n" +
			"cell-03 crash 2 a crash or power cut came before they were on disk\n" +
			"cell-07 of the future 1 <nil>\n"
		if text != want || got["hours"] != 24.0 {
			t.Errorf("%v hours:\n%swant\n%s", got["hours"], text, want)
		}
		f.history.setDown(errors.New("away"))
		f.get("/api/v1/losses", http.StatusServiceUnavailable)
	})
}
