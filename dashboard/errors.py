"""What can go wrong in the dashboard and is the user's to mend.

DashboardError
└── JobError   a job cannot be accepted
"""

from __future__ import annotations


class DashboardError(Exception):
    """A mistake outside the program; its text is one line that says what to do."""


class JobError(DashboardError):
    """A job cannot be accepted; the text says why and what would work."""
