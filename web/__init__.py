"""The controller: console, library, jobs, schedules, and the two APIs."""
