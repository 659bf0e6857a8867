package model_test

import (
	"strings"
	"testing"

	"andon.internal/lab/model"
)

// scenarios is every way in which the world can go wrong, and the rules that it needs.
var scenarios = []struct {
	model.Scenario
	rules []model.Rule
}{
	{model.Scenario{Name: "crashes", Readings: 2, Epochs: 3}, []model.Rule{
		model.AckAfterCommit, model.Ledger, model.KeepLedger, model.KeepTail, model.CommitFirst, model.Sync, model.Credit,
	}},
	{model.Scenario{Name: "rotation", Readings: 2, Epochs: 2, Rotate: true}, []model.Rule{model.KeepNames}},
	{model.Scenario{Name: "overflow", Readings: 3, Epochs: 1, Overflow: true}, []model.Rule{model.CommittedWins, model.TakePosition}},
	{model.Scenario{Name: "a second box", Readings: 2, Epochs: 2, Stranger: true}, []model.Rule{model.CloseByDescent}},
	{model.Scenario{Name: "a copied disk", Readings: 2, Epochs: 2, Clone: true}, []model.Rule{model.FreshEpoch}},
	{model.Scenario{Name: "a copied disk over one backlog", Readings: 2, Backlog: 2, Epochs: 3, Clone: true}, []model.Rule{
		model.KnowBehindMoved,
	}},
	{model.Scenario{Name: "a running copy", Readings: 2, Backlog: 2, Epochs: 2, Beside: true}, []model.Rule{model.KnowBehindMoved}},
	{model.Scenario{Name: "put back", Readings: 2, Epochs: 2, PutBack: true}, []model.Rule{
		model.OnlySent, model.WaitSync, model.ForkOnSync, model.KnowMoved, model.OneSession,
	}},
	{model.Scenario{Name: "a restored database", Readings: 2, Epochs: 2, Restore: true}, []model.Rule{model.Requeue, model.MissAll}},
}

func TestNothingIsLostOrDoubled(t *testing.T) {
	all := 0
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			r := model.Explore(s.Scenario)
			if r.Fault != "" {
				t.Errorf("%s:\n%s", r.Fault, strings.Join(r.Steps, "\n"))
			}
			t.Logf("%d states", r.States)
			all += r.States
		})
	}
	t.Logf("%d states in all", all)
}

// TestLimits: what is known to go wrong, and named in ARCHITECTURE.md, does.
func TestLimits(t *testing.T) {
	for _, s := range []model.Scenario{
		{Name: "put back, and crashes unheard", Readings: 2, Epochs: 2, PutBack: true},
		{Name: "a running copy that takes readings", Readings: 2, Epochs: 1, Beside: true},
		{Name: "an acknowledgement of before a restore", Readings: 1, Epochs: 1, Restore: true},
	} {
		t.Run(s.Name, func(t *testing.T) {
			s.Limits = true
			r := model.Explore(s)
			if r.Fault == "" {
				t.Fatalf("nothing goes wrong in %d states", r.States)
			}
			t.Logf("%s, after %d steps:\n%s", r.Fault, len(r.Steps), strings.Join(r.Steps, "\n"))
		})
	}
}

// TestEveryRuleIsNeeded: without it something goes wrong, and this is how.
func TestEveryRuleIsNeeded(t *testing.T) {
	for _, s := range scenarios {
		for _, rule := range s.rules {
			t.Run(s.Name+"/"+string(rule), func(t *testing.T) {
				s.Rule = rule
				r := model.Explore(s.Scenario)
				if r.Fault == "" {
					t.Fatalf("nothing goes wrong without it in %d states of %s", r.States, s.Name)
				}
				t.Logf("without it, %s, after %d steps:\n%s", r.Fault, len(r.Steps), strings.Join(r.Steps, "\n"))
			})
		}
	}
}
