package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// This file writes numbers and times for people; assets/src/text.js does the same.

// missingText stands for a value that there is not.
const missingText = "–"

// valueText writes a value of a signal.
func valueText(s *Signal, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return missingText
	}
	if s.Boolean {
		if v != 0 {
			return "yes"
		}
		return "no"
	}
	text := strconv.FormatFloat(v, 'f', s.Digits, 64)
	if strings.Trim(text, "-0.") == "" {
		text = strings.TrimPrefix(text, "-") // no minus zero
	}
	return strings.Replace(text, "-", "−", 1)
}

// plainText writes a number with the digits that it has.
func plainText(v *float64) string {
	return strings.Replace(strconv.FormatFloat(*v, 'f', -1, 64), "-", "−", 1)
}

// ageText writes how long something is ago.
func ageText(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 9950*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// offsetText writes an offset of m minutes from UTC.
func offsetText(m int) string {
	if m == 0 {
		return "UTC"
	}
	sign := "+"
	if m < 0 {
		sign, m = "−", -m
	}
	if m%60 == 0 {
		return fmt.Sprintf("UTC%s%d", sign, m/60)
	}
	return fmt.Sprintf("UTC%s%d:%02d", sign, m/60, m%60)
}

// groupDigits writes a count with thin spaces between thousands.
func groupDigits(n any) string {
	text := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range text {
		if i > 0 && c != '-' && (len(text)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}

func titleCase(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// percentText writes a part of a whole as an SVG percentage.
func percentText(f float64) string { return strconv.FormatFloat(100*f, 'f', 2, 64) + "%" }
