"""The work of the commands on a job: it is staged, sent, read back, undone, and reported.

``opening`` opens jobs, and ``library`` does the work from Python.
"""

from batch_alias.job.findings import Planned, Verified
from batch_alias.job.job import Job, Observer
from batch_alias.job.library import plan_job, run_job, undo_job, verify_job, write_job_reports
from batch_alias.job.opening import OpenJob, open_job, open_undo

__all__ = [
    "Job",
    "Observer",
    "OpenJob",
    "Planned",
    "Verified",
    "open_job",
    "open_undo",
    "plan_job",
    "run_job",
    "undo_job",
    "verify_job",
    "write_job_reports",
]
