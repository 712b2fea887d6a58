"""A local Adobe for tests: IMS, Data Repair, Data Hygiene and Profile system jobs over HTTP.

Written from Adobe's public documents alone. It knows nothing of this provider, so the two can
disagree, and tests notice.
"""

from airflow_provider_adobe_deletion.simulator.server import AdobeSimulator
from airflow_provider_adobe_deletion.simulator.state import Fault, JournalEntry

__all__ = ["AdobeSimulator", "Fault", "JournalEntry"]
