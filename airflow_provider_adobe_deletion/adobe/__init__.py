"""Everything this provider knows about Adobe. Imports no Airflow and opens no socket on import."""
